"""The Python servers that the service is compared with; run as modules, never imported by the bench."""
