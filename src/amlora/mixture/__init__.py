"""The paper: an attentional mixture of LoRAs, from its equations to its files."""
