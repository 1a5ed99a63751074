"""The one account of the SFTP and FTP servers, and the keys of the S3 server."""

USER, PASSWORD = "shop", "correct horse"
ACCESS_KEY, SECRET_KEY = "AKIATORTURE", "correct/horse+battery"
BUCKET = "torture"
