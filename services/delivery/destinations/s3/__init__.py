"""S3 and MinIO."""
