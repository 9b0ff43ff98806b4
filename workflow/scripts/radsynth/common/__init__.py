"""What every room may use: image sets, the registry, seeds, hashes, files, records, schemas, logging, GPU leases."""
