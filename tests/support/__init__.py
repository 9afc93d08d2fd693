"""Support: servers, proxies and programs that tests start."""
