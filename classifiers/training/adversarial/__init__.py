"""Cases of our own writing that only evaluate the classifier; nothing here is trained on."""
