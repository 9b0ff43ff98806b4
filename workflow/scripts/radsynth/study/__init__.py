"""The configuration: schema, defaults, cross-field checks, and the names of all jobs."""
