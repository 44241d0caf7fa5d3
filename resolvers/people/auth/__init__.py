"""Who somebody is: accounts, logins, browser sessions, CLI tokens and tickets for the websocket."""
