"""From a URL to its bytes, politely and safely: `crawler` decides, `client` runs `transfer`s."""
