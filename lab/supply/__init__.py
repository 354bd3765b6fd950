"""What the product and its lab are made of: every part pinned by digest (`lock`), listed (`parts`, `sbom`), and looked up (`audit`)."""
