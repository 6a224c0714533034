"""Lists the packages; everything else about the distribution is in setup.cfg.

setup.cfg can search for packages or name them, not both, and `recbole_mpo.properties` has to be named: it is
the folder `properties/` beside the code, which a wheel carries inside the package.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["recbole_mpo", "recbole_mpo.*"]), "recbole_mpo.properties"])
