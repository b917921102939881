"""Data sets in the formats of other tools, written from the shards of a job."""
