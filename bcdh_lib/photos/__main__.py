"""`python -m bcdh_lib.photos`: collect the photos of the study around the working directory."""

from bcdh_lib.study import run

if __name__ == "__main__":
    run("bcdh_lib.photos.collect", "collect_photos")
