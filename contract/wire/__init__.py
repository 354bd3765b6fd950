"""How all parts speak to S3, to APIs and to each other: one signer, one HTTP/1.1 client, on the standard library alone.

`sigv4` signs; `line` is a connection whose waits all end; `http1` speaks over it; `channel` asks one question at a time over a kept one; `dates`,
`document` and `s3` read what answers hold, or say that it is none. What a refusal means, and whether something is tried again, is the callers' own.
"""
