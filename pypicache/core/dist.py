import zipfile

from pypicache.core.model import *


def is_wheel(n):
    return n.endswith(".whl")


def projects_of(n):
    return (project_name(n.split("-")[0]),)


def wheel_metadata(s):
    try:
        z = zipfile.ZipFile(s)
        return z.read([n for n in z.namelist() if n.endswith(".dist-info/METADATA")][0])
    except Exception:
        return None
