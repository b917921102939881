"""Runs Roboflow's workflows with Roboflow's own engine on the model of this server."""
