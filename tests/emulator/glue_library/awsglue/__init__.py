"""What scripts that Glue Studio writes import from `awsglue`, and no more.

No package index has AWS's own package under a free licence. These modules take the same arguments
and answer as AWS documents it. They hold no DynamicFrame.
"""
