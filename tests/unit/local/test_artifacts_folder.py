"""Which folder the finished files of a stack lie in."""

from deploy.local.stack import artifacts_folder


def test_each_mongodb_has_a_folder_of_its_own() -> None:
    own = artifacts_folder(None)
    first, second = artifacts_folder("mongodb://a:1/?replicaSet=x"), artifacts_folder("mongodb://b:1/?replicaSet=x")
    assert len({own, first, second}) == 3


def test_it_depends_on_the_servers_and_not_on_how_they_are_written() -> None:
    assert artifacts_folder("mongodb://u:p@a:1,b:2/?replicaSet=x") == artifacts_folder("mongodb://b:2,a:1/?w=majority")
