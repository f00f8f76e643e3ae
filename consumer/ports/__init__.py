"""What the inner layers need of the outer ones: small Protocols, a module for each thing that is needed."""
