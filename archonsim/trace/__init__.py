"""What a trained network computed: weights, masks, maps, and what is made of them."""
