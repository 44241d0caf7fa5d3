"""Crews' containers: a sandbox that an engine makes from an image, by the API that Docker and podman share."""
