"""Seeds, hashes, files, schemas, logging and GPU leases: what every room may use."""
