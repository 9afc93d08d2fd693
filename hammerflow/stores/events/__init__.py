"""Events: their log and the bodies that readers get, the sinks, and the deliveries of webhooks."""
