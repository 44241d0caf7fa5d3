"""What is put before people: the inbox of a workspace, and notifications. No operation is offered yet."""
