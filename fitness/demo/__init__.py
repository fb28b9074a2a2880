"""The bundled target: two small trained models, their stories, and the script that trains them."""
