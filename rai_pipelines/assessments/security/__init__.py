"""The model under attack: evasion, malformed inputs."""
