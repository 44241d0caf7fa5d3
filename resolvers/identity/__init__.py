"""Identity: the credentials that a request presents, before anything is looked up."""
