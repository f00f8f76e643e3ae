"""The other side of the wire: sends commands and follows what the service answers, as the backend would.

``ForecastClient`` (``consumer.client.client``) is what the command line, the demo, the end-to-end tests and the
benchmark share. It knows Kafka and the contract, and nothing of the service's inside.
"""
