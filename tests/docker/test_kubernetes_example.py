import yaml

from tests.docker.commands import check_command
from tests.docker.dockerfile import ROOT, Dockerfile
from train_entry.launch import TRY_AGAIN

PATH = ROOT / "docker" / "kubernetes" / "pretrain.jobset.yaml"
CLAIM, JOBSET = yaml.safe_load_all(PATH.read_text())
(REPLICATED,) = JOBSET["spec"]["replicatedJobs"]
JOB = REPLICATED["template"]["spec"]
POD = JOB["template"]["spec"]
(CONTAINER,) = POD["containers"]


def test_it_is_a_jobset_and_the_claim_of_its_run():
    assert (CLAIM["apiVersion"], CLAIM["kind"]) == ("v1", "PersistentVolumeClaim")
    assert (JOBSET["apiVersion"], JOBSET["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert CLAIM["spec"]["accessModes"] == ["ReadWriteMany"]


def test_each_pod_starts_a_launcher_and_all_meet_at_the_first_one():
    options = check_command([*CONTAINER["command"], *CONTAINER["args"]])
    assert JOB["completionMode"] == "Indexed"
    assert int(options["--nnodes"]) == JOB["parallelism"] == JOB["completions"]
    assert int(options["--nproc-per-node"]) == CONTAINER["resources"]["limits"]["nvidia.com/gpu"]
    name, subdomain = JOBSET["metadata"]["name"], JOBSET["spec"]["network"]["subdomain"]
    host = f"{name}-{REPLICATED['name']}-0-0.{subdomain}"
    assert options["--rdzv-endpoint"].split(":")[0] == host
    assert JOBSET["spec"]["network"]["enableDNSHostnames"] is True


def test_variables_in_its_arguments_are_set():
    variables = {one["name"] for one in CONTAINER["env"]}
    used = {word.split("$(")[1].split(")")[0] for word in CONTAINER["args"] if "$(" in word}
    assert used == variables


def test_an_interrupted_run_goes_on_and_does_not_count_as_failed():
    by_code, by_condition = JOB["podFailurePolicy"]["rules"]
    assert by_code["action"] == by_condition["action"] == "FailJob"
    assert by_code["onExitCodes"] == {
        "containerName": CONTAINER["name"],
        "operator": "In",
        "values": [TRY_AGAIN],
    }
    assert by_condition["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    (rule,) = JOBSET["spec"]["failurePolicy"]["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"]
    # What a policy on the failure of pods asks of a Job.
    assert POD["restartPolicy"] == "Never"
    assert JOB["podReplacementPolicy"] == "Failed"


def test_the_launcher_is_through_before_kubernetes_loses_patience():
    options = check_command([*CONTAINER["command"], *CONTAINER["args"]])
    assert int(options["--shutdown-timeout"]) < POD["terminationGracePeriodSeconds"]


def test_what_is_written_goes_to_volumes_that_are_there():
    mounts = {one["name"]: one["mountPath"] for one in CONTAINER["volumeMounts"]}
    volumes = {one["name"]: one for one in POD["volumes"]}
    assert set(mounts) == set(volumes)
    assert volumes["run"]["persistentVolumeClaim"]["claimName"] == CLAIM["metadata"]["name"]
    assert f"output={mounts['run']}" in CONTAINER["args"]
    assert f"loader.cache={mounts['cache']}" in CONTAINER["args"]
    assert mounts["shared-memory"] == "/dev/shm"
    assert volumes["shared-memory"]["emptyDir"]["medium"] == "Memory"


def test_it_runs_as_the_user_of_the_image():
    (user,) = Dockerfile("trainer.Dockerfile").instructions("USER")
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["runAsUser"] == POD["securityContext"]["fsGroup"] == int(user)
