"""Networks as token sequences whose length grows linearly with the network."""
