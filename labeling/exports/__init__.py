"""Writes data sets in the formats of other tools from the shards of a job."""
