"""What a worker holds of each partition, and how Faust's tables keep it durable."""
