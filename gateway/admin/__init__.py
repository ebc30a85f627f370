"""What operators do through the running gateway: each call has a person, a role and a record."""
