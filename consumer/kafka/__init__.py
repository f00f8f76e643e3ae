"""Kafka by aiokafka: the only package that knows the client."""
