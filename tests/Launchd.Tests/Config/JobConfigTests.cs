using Launchd.Config.Loading;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Config;

/// <summary>What <c>ready = "exited"</c> means for the other keys of a service.</summary>
public sealed class JobConfigTests
{
    private const string Job = "[services.job]\ncommand = [\"job\"]\nready = \"exited\"\n";

    [Fact]
    public void WhatIsWrittenNowhereIsAsAJobNeedsIt()
    {
        ServiceDefinition job = Assert.Single(Reading.Read(Job).Definition!.Services);
        Assert.True(job.IsJob);
        Assert.Equal(
            (RestartKind.Never, TimeSpan.Zero, UpdateKind.Replace, RolloutFailure.Continue),
            (job.Restart, job.ReadyTimeout, job.Update, job.Rollout.OnFailure));
        Assert.Equal(0, Assert.Single(job.SuccessCodes));
        Assert.Empty(job.SuccessSignals);
    }

    [Fact]
    public void WhatIsWrittenHolds()
    {
        ServiceDefinition job = Assert.Single(Reading.Read(
            Job + "restart = \"on-failure\"\nready_timeout = \"5s\"\nsuccess_exit = [0, 3, \"SIGTERM\"]\n").Definition!.Services);
        Assert.Equal((RestartKind.OnFailure, TimeSpan.FromSeconds(5)), (job.Restart, job.ReadyTimeout));
        Assert.Equal(new SignalNumber(15), Assert.Single(job.SuccessSignals));
    }

    [Theory]
    [InlineData("restart = \"always\"", "LD1213 services.job.restart: 'always' would start a job again as soon as it has succeeded"
        + " (ready = \"exited\")")]
    [InlineData("update = \"overlap\"", "LD1213 services.job.update: a job (ready = \"exited\") does not run beside its successor")]
    [InlineData("watchdog = \"5s\"", "LD1310 services.job.watchdog: has no effect on a job (ready = \"exited\"), which is never ready"
        + " while it runs")]
    [InlineData("start = \"demand\"\nsockets = [\"a\"]\nupdate = \"replace\"\n[sockets.a]\nlisten = \"tcp://127.0.0.1:80\"",
        "LD1213 services.job.start: a job (ready = \"exited\") serves no clients")]
    public void WhatAJobCannotBeIsTold(string keys, string told) => Assert.Equal(told, Reading.Headers(Reading.Read(Job + keys)));

    [Theory]
    [InlineData("requires", "restart = \"never\"", true)]
    [InlineData("after", "restart = \"never\"", true)]
    [InlineData("wants", "restart = \"never\"", false)]
    [InlineData("after", "restart = \"never\"\nready = \"notify\"", false)]
    [InlineData("after", "restart = \"on-failure\"", false)]
    [InlineData("after", "ready = \"exited\"", false)]
    public void AnEndThatNobodyWaitsForIsTold(string key, string once, bool isTold)
    {
        ConfigResult result = Reading.Read(
            $"[services.web]\ncommand = [\"web\"]\n{key} = [\"once\"]\n[services.once]\ncommand = [\"once\"]\n{once}\n");
        Assert.Equal(
            isTold ? $"LD1314 services.web.{key}: does not wait for the end of 'once', which is ready as soon as it was started" : "",
            Reading.Headers(result));
    }
}
