"""What a study will do, needs and lacks, said before it runs: `snakemake check`."""
