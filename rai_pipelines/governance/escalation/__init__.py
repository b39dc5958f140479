"""Nothing waits unnoticed: deadlines in working time, who is told when one passes, and how. What is decided then is decisions/' and gate/'s."""
