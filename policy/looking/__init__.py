"""A look at recordings: what people see at a glance and no check finds."""
