"""The journal of every host, copied to the other region's control host as it is written."""
