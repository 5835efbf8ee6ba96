"""Accounts of this service's own: passwords, logins that can be revoked, and API keys."""
