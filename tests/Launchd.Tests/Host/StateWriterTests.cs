using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Memory;
using Launchd.Model;
using Launchd.Tests.Core;
using Microsoft.Extensions.Logging.Abstractions;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class StateWriterTests
{
    [Fact]
    public void WhatTheKernelRefusedToWrite_StandsThereAfterTheNextStep()
    {
        SupervisorDefinition definition = A.Definition(A.Service("web"));
        Supervisor core = new(definition, seed: 1);
        RecordLog log = RecordLog.Create(out Errno refused) ?? throw new InvalidOperationException(refused.Text);
        Held held = new();
        RunningInstances instances = new();
        using StateWriter writer = new(log, held, () => definition, instances, new Counters(), NullLogger.Instance);
        writer.NoteStep(core, []);
        using RunningInstance instance = new(new InstanceId(new ServiceName("web"), 7), 0, 1, new Provision(definition.Services[0])
        {
            User = new ResolvedUser(null, null, null, null, null),
            Sockets = [],
            Files = [],
            Users = new UserTable(definition),
        });
        instances.Add(instance);

        WithFullMemory(log.File, () => writer.Note(instance));

        Assert.DoesNotContain(StateWriter.StateName, held.Names);
        writer.NoteStep(core, []);
        Assert.Contains(StateWriter.StateName, held.Names);
        using RecordLog next = RecordLog.TryTake(log.File.Duplicate(), out string why) ?? throw new InvalidOperationException(why);
        Assert.NotNull(next.Find(StateWriter.InstanceKind, instance.Id.Number));
        Assert.Contains(next.Keys, k => k.Kind < StateWriter.InstanceKind);
    }

    [Fact]
    public void AFullFileOfTheRuntimeDirectoryIsLeft_AndNothingIsLostForTheKeeper()
    {
        SupervisorDefinition definition = A.Definition(A.Service("web"));
        Supervisor core = new(definition, seed: 1);
        RecordLog log = RecordLog.Create(out Errno refused) ?? throw new InvalidOperationException(refused.Text);
        Held held = new();
        bool isRemoved = false;
        using StateWriter writer = new(log, held, () => definition, new RunningInstances(), new Counters(), NullLogger.Instance)
        {
            RemoveFile = () => isRemoved = true,
        };
        using FileDescriptor file = log.File.Duplicate();

        writer.Store("some", file);
        FileDescriptor former = log.File;
        WithFullMemory(former, () => writer.NoteStep(core, []), isClosed: true);

        Assert.True(isRemoved);
        Assert.True(writer.IsHeld);
        using RecordLog next = RecordLog.TryTake(held.State!, out string why) ?? throw new InvalidOperationException(why);
        Assert.Contains(next.Keys, k => k.Kind < StateWriter.InstanceKind);
        Assert.Equal("some", Assert.Single(StateWriter.NotesIn(next)).Note.Name);
    }

    /// <summary>The descriptor means /dev/full (full(4)) meanwhile: each write(2) to it is refused with ENOSPC.</summary>
    private static void WithFullMemory(FileDescriptor file, Action act, bool isClosed = false)
    {
        using FileDescriptor memory = file.Duplicate();
        using FileStream full = new("/dev/full", FileMode.Open, System.IO.FileAccess.Write);
        Assert.Equal(file.Number, Libc.dup3((int)full.SafeFileHandle.DangerousGetHandle(), file.Number, Libc.O_CLOEXEC));
        act();
        if (isClosed)
            return;
        Assert.Equal(file.Number, Libc.dup3(memory.Number, file.Number, Libc.O_CLOEXEC));
    }

    private sealed class Held : IDescriptorKeeper
    {
        public HashSet<string> Names { get; } = [];

        /// <summary>A copy of the state that was stored last.</summary>
        public FileDescriptor? State { get; private set; }

        public void Store(string name, FileDescriptor borrowed, bool mayWait)
        {
            _ = Names.Add(name);
            if (name == StateWriter.StateName)
                State = borrowed.Duplicate();
        }

        public void Drop(string name, bool isDrained) => Names.Remove(name);
    }
}
