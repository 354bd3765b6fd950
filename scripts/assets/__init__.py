"""`dr-assets`: copies one S3 bucket into another and never loses an object. See docs/assets.md."""
