"""What happens live: which registered versions are live and due for an audit."""
