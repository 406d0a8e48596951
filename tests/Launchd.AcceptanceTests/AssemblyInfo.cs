using Xunit;

// Each test runs a supervisor and its services: two at a time would measure the machine.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
[assembly: System.Runtime.CompilerServices.DisableRuntimeMarshalling]
[assembly: System.Runtime.Versioning.SupportedOSPlatform("linux")]
