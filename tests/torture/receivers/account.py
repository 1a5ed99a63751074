"""The one account of the SFTP and FTP servers, and the bucket of the S3 server."""

USER, PASSWORD = "shop", "correct horse"
BUCKET = "torture"
