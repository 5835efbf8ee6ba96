"""Celery: work that outlives a request, on files by default, on Redis or RabbitMQ by one URL."""
