"""What is kept: typed measurements, their canonical form and digests, and the content-addressed store."""
