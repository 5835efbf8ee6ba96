"""Users of an OpenID provider: whoever it gives an access token for this service."""
