"""What monitoring systems read: metrics, and how they are written."""
