"""Seeds, hashes, files, logging and GPU leases: what every room may use."""
